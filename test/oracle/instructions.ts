/**
 * The instructions the oracle generates, one line each: mnemonic, opcode, format, properties.
 * Opcodes: Principles of Operation, appendix B. Properties say what a generator must know to stay inside
 * its own memory and to know which registers an instruction changes:
 *
 *   w / W      changes R1 / the even-odd pair R1 (must be even)
 *   E / E2 / E3  R1 / R2 / R3 names an even-odd pair that is only read;  W2 changes the pair R2
 *   w2, w3     changes R2 / R3
 *   sN aN      storage operand of N bytes, which must be aligned to N
 *   st         the storage operand is changed
 *   sh         the operand address is a shift amount;  la  it is only computed
 *   f1 f2 f3   the field names a floating-point register;  q1 q2 a floating-point register pair
 *   pr         privileged;  n2  bits 28-31 (R2) are not used and stay 0
 */
import { type Fields, type FormatName, formats, isFormat, noFields } from "./formats.ts";

export interface Row {
  readonly name: string;
  readonly op: number;
  readonly format: FormatName;
  /** 0 = R1 unchanged, 1 = R1, 2 = the pair R1. */
  readonly writes1: 0 | 1 | 2;
  readonly writes2: 0 | 1 | 2;
  readonly writes3: 0 | 1;
  readonly even1: boolean;
  readonly even2: boolean;
  readonly even3: boolean;
  /** Bytes of the storage operand; 0 = none or given by the instruction's fields. */
  readonly size: number;
  readonly align: number;
  readonly stores: boolean;
  readonly shift: boolean;
  readonly address: boolean;
  readonly fp1: boolean;
  readonly fp2: boolean;
  readonly fp3: boolean;
  readonly pair1: boolean;
  readonly pair2: boolean;
  readonly privileged: boolean;
  /** R2 exists in the format only. */
  readonly no2: boolean;
}

/** Groups of rows that families draw from. */
const groups = {
  registers: `
    lr 18 RR w; ltr 12 RR w; lcr 13 RR w; lnr 11 RR w; lpr 10 RR w; ar 1a RR w; sr 1b RR w
    alr 1e RR w; slr 1f RR w; nr 14 RR w; or 16 RR w; xr 17 RR w; cr 19 RR; clr 15 RR
    lgr b904 RRE w; lgfr b914 RRE w; ltgr b902 RRE w; ltgfr b912 RRE w; lcgr b903 RRE w
    lcgfr b913 RRE w; lngr b901 RRE w; lngfr b911 RRE w; lpgr b900 RRE w; lpgfr b910 RRE w
    agr b908 RRE w; agfr b918 RRE w; sgr b909 RRE w; sgfr b919 RRE w; algr b90a RRE w
    algfr b91a RRE w; slgr b90b RRE w; slgfr b91b RRE w; alcgr b988 RRE w; slbgr b989 RRE w
    alcr b998 RRE w; slbr b999 RRE w; ngr b980 RRE w; ogr b981 RRE w; xgr b982 RRE w
    cgr b920 RRE; cgfr b930 RRE; clgr b921 RRE; clgfr b931 RRE; llgfr b916 RRE w
    llgtr b917 RRE w; lbr b926 RRE w; lgbr b906 RRE w; lhr b927 RRE w; lghr b907 RRE w
    llcr b994 RRE w; llgcr b984 RRE w; llhr b995 RRE w; llghr b985 RRE w; lrvr b91f RRE w
    lrvgr b90f RRE w; flogr b983 RRE W; popcnt b9e1 RRE w; ipm b222 RRE w n2`,
  distinct: `
    ark b9f8 RRFa w; agrk b9e8 RRFa w; alrk b9fa RRFa w; algrk b9ea RRFa w; srk b9f9 RRFa w
    sgrk b9e9 RRFa w; slrk b9fb RRFa w; slgrk b9eb RRFa w; nrk b9f4 RRFa w; ngrk b9e4 RRFa w
    ork b9f6 RRFa w; ogrk b9e6 RRFa w; xrk b9f7 RRFa w; xgrk b9e7 RRFa w; ahik ecd8 RIEd w
    aghik ecd9 RIEd w; alhsik ecda RIEd w; alghsik ecdb RIEd w; sllk ebdf RSY w sh
    srlk ebde RSY w sh; slak ebdd RSY w sh; srak ebdc RSY w sh`,
  immediate: `
    lhi a78 RI w; lghi a79 RI w; ahi a7a RI w; aghi a7b RI w; chi a7e RI; cghi a7f RI
    iihh a50 RI w; iihl a51 RI w; iilh a52 RI w; iill a53 RI w; nihh a54 RI w; nihl a55 RI w
    nilh a56 RI w; nill a57 RI w; oihh a58 RI w; oihl a59 RI w; oilh a5a RI w; oill a5b RI w
    llihh a5c RI w; llihl a5d RI w; llilh a5e RI w; llill a5f RI w; tmlh a70 RI; tmll a71 RI
    tmhh a72 RI; tmhl a73 RI; lgfi c01 RIL w; xihf c06 RIL w; xilf c07 RIL w; iihf c08 RIL w
    iilf c09 RIL w; nihf c0a RIL w; nilf c0b RIL w; oihf c0c RIL w; oilf c0d RIL w
    llihf c0e RIL w; llilf c0f RIL w; slgfi c24 RIL w; slfi c25 RIL w; agfi c28 RIL w
    afi c29 RIL w; algfi c2a RIL w; alfi c2b RIL w; cgfi c2c RIL; cfi c2d RIL; clgfi c2e RIL
    clfi c2f RIL`,
  storageRx: `
    l 58 RX w s4; lh 48 RX w s2; a 5a RX w s4; s 5b RX w s4; ah 4a RX w s2; sh 4b RX w s2
    al 5e RX w s4; sl 5f RX w s4; n 54 RX w s4; o 56 RX w s4; x 57 RX w s4; c 59 RX s4
    ch 49 RX s2; cl 55 RX s4; st 50 RX s4 st; sth 40 RX s2 st; stc 42 RX s1 st; ic 43 RX w s1
    la 41 RX w la; lae 51 RX w la`,
  storageRxy: `
    lg e304 RXY w s8; lgf e314 RXY w s4; lgh e315 RXY w s2; lgb e377 RXY w s1; lb e376 RXY w s1
    ly e358 RXY w s4; lhy e378 RXY w s2; lt e312 RXY w s4; ltg e302 RXY w s8; ltgf e332 RXY w s4
    llgf e316 RXY w s4; llgt e317 RXY w s4; llgc e390 RXY w s1; llgh e391 RXY w s2
    llc e394 RXY w s1; llh e395 RXY w s2; icy e373 RXY w s1; lrv e31e RXY w s4
    lrvg e30f RXY w s8; lrvh e31f RXY w s2; strv e33e RXY s4 st; strvg e32f RXY s8 st
    strvh e33f RXY s2 st; stg e324 RXY s8 st; sty e350 RXY s4 st; sthy e370 RXY s2 st
    stcy e372 RXY s1 st; ag e308 RXY w s8; agf e318 RXY w s4; sg e309 RXY w s8
    sgf e319 RXY w s4; alg e30a RXY w s8; algf e31a RXY w s4; slg e30b RXY w s8
    slgf e31b RXY w s4; ay e35a RXY w s4; sy e35b RXY w s4; ahy e37a RXY w s2
    shy e37b RXY w s2; aly e35e RXY w s4; sly e35f RXY w s4; alc e398 RXY w s4
    slb e399 RXY w s4; alcg e388 RXY w s8; slbg e389 RXY w s8; ng e380 RXY w s8
    og e381 RXY w s8; xg e382 RXY w s8; ny e354 RXY w s4; oy e356 RXY w s4; xy e357 RXY w s4
    cg e320 RXY s8; cgf e330 RXY s4; cgh e334 RXY s2; cy e359 RXY s4; chy e379 RXY s2
    cly e355 RXY s4; clg e321 RXY s8; clgf e331 RXY s4; lay e371 RXY w la; laey e375 RXY w la`,
  relative: `
    larl c00 RILr w la; lrl c4d RILr w s4 a4; lgrl c48 RILr w s8 a8; lgfrl c4c RILr w s4 a4
    llgfrl c4e RILr w s4 a4; lhrl c45 RILr w s2; lghrl c44 RILr w s2; llhrl c42 RILr w s2
    llghrl c46 RILr w s2; strl c4f RILr s4 a4 st; stgrl c4b RILr s8 a8 st; sthrl c47 RILr s2 st
    crl c6d RILr s4 a4; cgrl c68 RILr s8 a8; cgfrl c6c RILr s4 a4; clrl c6f RILr s4 a4
    clgrl c6a RILr s8 a8; clgfrl c6e RILr s4 a4; chrl c65 RILr s2; cghrl c64 RILr s2
    clhrl c67 RILr s2; clghrl c66 RILr s2`,
  storageImmediate: `
    mvi 92 SI s1 st; ni 94 SI s1 st; oi 96 SI s1 st; xi 97 SI s1 st; cli 95 SI s1; tm 91 SI s1
    mviy eb52 SIY s1 st; niy eb54 SIY s1 st; oiy eb56 SIY s1 st; xiy eb57 SIY s1 st
    cliy eb55 SIY s1; tmy eb51 SIY s1; asi eb6a SIY s4 st; agsi eb7a SIY s8 st
    alsi eb6e SIY s4 st; algsi eb7e SIY s8 st; mvhhi e544 SIL s2 st; mvhi e54c SIL s4 st
    mvghi e548 SIL s8 st; chhsi e554 SIL s2; clhhsi e555 SIL s2; chsi e55c SIL s4
    clfhsi e55d SIL s4; cghsi e558 SIL s8; clghsi e559 SIL s8`,
  shifts: `
    sll 89 RS w sh; srl 88 RS w sh; sla 8b RS w sh; sra 8a RS w sh; sldl 8d RS W sh
    srdl 8c RS W sh; slda 8f RS W sh; srda 8e RS W sh; sllg eb0d RSY w sh; srlg eb0c RSY w sh
    slag eb0b RSY w sh; srag eb0a RSY w sh; rll eb1d RSY w sh; rllg eb1c RSY w sh`,
  multiply: `
    mr 1c RR W; m 5c RX W s4; mh 4c RX w s2; mhy e37c RXY w s2; ms 71 RX w s4; msr b252 RRE w
    msgr b90c RRE w; msgfr b91c RRE w; msy e351 RXY w s4; msg e30c RXY w s8; msgf e31c RXY w s4
    mlr b996 RRE W; ml e396 RXY W s4; mlgr b986 RRE W; mlg e386 RXY W s8; mfy e35c RXY W s4
    mhi a7c RI w; mghi a7d RI w; msgfi c20 RIL w; msfi c21 RIL w`,
  divide: `
    dr 1d RR W; d 5d RX W s4; dlr b997 RRE W; dl e397 RXY W s4; dlgr b987 RRE W; dlg e387 RXY W s8
    dsgr b90d RRE W; dsg e30d RXY W s8; dsgfr b91d RRE W; dsgf e31d RXY W s4`,
  insert: `
    risbg ec55 RIEf w; rnsbg ec54 RIEf w; rosbg ec56 RIEf w; rxsbg ec57 RIEf w`,
  characters: `
    icm bf RSm w s4; stcm be RSm s4 st; clm bd RSm s4; icmy eb81 RSYm w s4; stcmy eb2d RSYm s4 st
    clmy eb21 RSYm s4; icmh eb80 RSYm w s4; stcmh eb2c RSYm s4 st; clmh eb20 RSYm s4`,
  conditional: `
    locr b9f2 RRFc w; locgr b9e2 RRFc w; loc ebf2 RSYm w s4; locg ebe2 RSYm w s8
    stoc ebf3 RSYm s4 st; stocg ebe3 RSYm s8 st`,
  newer: `
    risbgn ec59 RIEf w; lochi ec42 RIEg w; locghi ec46 RIEg w; lochhi ec4e RIEg w
    locfhr b9e0 RRFc w; locfh ebe0 RSYm w s4; stocfh ebe1 RSYm s4 st; llzrgf e33a RXY w s4
    lzrf e33b RXY w s4; lzrg e32a RXY w s8; agh e338 RXY w s2; sgh e339 RXY w s2
    mg e384 RXY W s8; mgh e33c RXY w s2; mgrk b9ec RRFa W; msrkc b9fd RRFa w; msgrkc b9ed RRFa w
    msc e353 RXY w s4; msgc e383 RXY w s8; ncrk b9f5 RRFa w; ncgrk b9e5 RRFa w; nnrk b974 RRFa w
    nngrk b964 RRFa w; nork b976 RRFa w; nogrk b966 RRFa w; nxrk b977 RRFa w; nxgrk b967 RRFa w
    clt eb23 RSYm s4; clgt eb2b RSYm s8; ocrk b975 RRFa w; ocgrk b965 RRFa w; selr b9f0 RRFa w; selgr b9e3 RRFa w; selfhr b9c0 RRFa w`,
  highWord: `
    ahhhr b9c8 RRFa w; ahhlr b9d8 RRFa w; alhhhr b9ca RRFa w; alhhlr b9da RRFa w
    shhhr b9c9 RRFa w; shhlr b9d9 RRFa w; slhhhr b9cb RRFa w; slhhlr b9db RRFa w; chhr b9cd RRE
    chlr b9dd RRE; clhhr b9cf RRE; clhlr b9df RRE; aih cc8 RIL w; alsih cca RIL w
    alsihn ccb RIL w; cih ccd RIL; clih ccf RIL; lbh e3c0 RXY w s1; lhh e3c4 RXY w s2
    llch e3c2 RXY w s1; llhh e3c6 RXY w s2; lfh e3ca RXY w s4; stch e3c3 RXY s1 st
    sthh e3c7 RXY s2 st; stfh e3cb RXY s4 st; chf e3cd RXY s4; clhf e3cf RXY s4
    risbhg ec5d RIEf w; risblg ec51 RIEf w`,
  registerBranches: `
    bcr 07 RRm; bc 47 RXm; brc a74 RIm; brcl c04 RILm; bct 46 RX w; bctr 06 RR w; bctg e346 RXY w
    bctgr b946 RRE w; brct a76 RIr w; brctg a77 RIr w; brcth cc6 RILr w; bxh 86 RS w; bxle 87 RS w
    bxhg eb44 RSY w; bxleg eb45 RSY w; brxh 84 RSI w; brxle 85 RSI w; brxhg ec44 RIEe w
    brxlg ec45 RIEe w; bras a75 RIr w; brasl c05 RILr w; basr 0d RR w; bas 4d RX w; balr 05 RR w
    bal 45 RX w; bassm 0c RR w; bsm 0b RR w`,
  compareBranches: `
    crj ec76 RIEb; cgrj ec64 RIEb; clrj ec77 RIEb; clgrj ec65 RIEb; cij ec7e RIEc; cgij ec7c RIEc
    clij ec7f RIEc; clgij ec7d RIEc; crb ecf6 RRS; cgrb ece4 RRS; clrb ecf7 RRS; clgrb ece5 RRS
    cib ecfe RIS; cgib ecfc RIS; clib ecff RIS; clgib ecfd RIS`,
  traps: `
    crt b972 RRFc; cgrt b960 RRFc; clrt b973 RRFc; clgrt b961 RRFc; cit ec72 RIEa; cgit ec70 RIEa
    clfit ec73 RIEa; clgit ec71 RIEa`,
  multiple: `
    lm 98 RS w; stm 90 RS st; lmg eb04 RSY w; stmg eb24 RSY st; lmh eb96 RSY w; stmh eb26 RSY st
    lmy eb98 RSY w; stmy eb90 RSY st; lam 9a RS; stam 9b RS st; lamy eb9a RSY; stamy eb9b RSY st`,
  quad: `lpq e38f RXY W s16 a16; stpq e38e RXY E s16 a16 st`,
  loadMultipleDisjoint: `lmd ef SSd w`,
  accessRegisters: `ear b24f RRE w; sar b24e RRE; cpya b24d RRE`,
  ss: `
    mvc d2 SSa st; mvn d1 SSa st; mvz d3 SSa st; nc d4 SSa st; clc d5 SSa; oc d6 SSa st
    xc d7 SSa st; mvcin e8 SSa st; tr dc SSa st; trt dd SSa`,
  decimalFormat: `
    mvo f1 SSb st; pack f2 SSb st; unpk f3 SSb st; cvd 4e RX s8 st; cvdy e326 RXY s8 st
    cvdg e32e RXY s16 st`,
  decimalArithmetic: `
    ap fa SSb st; sp fb SSb st; cp f9 SSb; zap f8 SSb st; mp fc SSb st; dp fd SSb st; srp f0 SSb st
    ed de SSa st; edmk df SSa st; cvb 4f RX w s8; cvby e306 RXY w s8; cvbg e30e RXY w s16`,
  strings: `
    mvcl 0e RR W W2; clcl 0f RR W W2; mvcle a8 RS W; clcle a9 RS W; mvst b255 RRE w w2
    clst b25d RRE w w2; srst b25e RRE w w2; cksm b241 RRE w W2`,
  translation: `
    cuse b257 RRE W W2; tre b2a5 RRE W w2; mvpg b254 RRE; cu12 b2a7 RRFc W W2; cu14 b9b0 RRFc W W2
    cu21 b2a6 RRFc W W2; cu24 b9b1 RRFc W W2; cu41 b9b2 RRFc W W2; cu42 b9b3 RRFc W W2`,
  translationSs: `trtr d0 SSa`,
  extendedTranslation: `
    srstu b9be RRE w w2; troo b993 RRFc W w2; trot b992 RRFc W w2; trto b991 RRFc W w2
    trtt b990 RRFc W w2; mvclu eb8e RSY W; clclu eb8f RSY W`,
  extendedTranslationSs: `
    pka e9 SSa st; pku e1 SSa st; unpka ea SSa st; unpku e2 SSa st; tp ebc0 RSL`,
  parsing: `trte b9bf RRFc W w2; trtre b9bd RRFc W w2`,
  locked: `plo ee SSd st`,
  compareSwap: `
    cs ba RS w s4 a4 st; csy eb14 RSY w s4 a4 st; csg eb30 RSY w s8 a8 st; cds bb RS W E3 s8 a8 st
    cdsy eb31 RSY W E3 s8 a8 st; cdsg eb3e RSY W E3 s16 a16 st; ts 93 S1 s1 st`,
  interlocked: `
    laa ebf8 RSY w s4 a4 st; laag ebe8 RSY w s8 a8 st; laal ebfa RSY w s4 a4 st
    laalg ebea RSY w s8 a8 st; lan ebf4 RSY w s4 a4 st; lang ebe4 RSY w s8 a8 st
    lao ebf6 RSY w s4 a4 st; laog ebe6 RSY w s8 a8 st; lax ebf7 RSY w s4 a4 st
    laxg ebe7 RSY w s8 a8 st; lpd c84 SSF; lpdg c85 SSF`,
  compareSwapStore: `csst c82 SSF st`,
  execute: `ex 44 RX; exrl c60 RILr`,
  fpMoves: `
    ldr 28 RR f1 f2; ler 38 RR f1 f2; lxr b365 RRE q1 q2; ld 68 RX f1 s8; ldy ed65 RXY f1 s8
    le 78 RX f1 s4; ley ed64 RXY f1 s4; std 60 RX f1 s8 st; stdy ed67 RXY f1 s8 st
    ste 70 RX f1 s4 st; stey ed66 RXY f1 s4 st; ldgr b3c1 RRE f1; lgdr b3cd RRE w f2
    lzer b374 RRE f1 n2; lzdr b375 RRE f1 n2; lzxr b376 RRE q1 n2; lpdfr b370 RRE f1 f2
    lndfr b371 RRE f1 f2; lcdfr b373 RRE f1 f2; cpsdr b372 RRFa f1 f2 f3; efpc b38c RRE w n2
    stfpc b29c S s4 st`,
  fpControl: `sfpc b384 RRE n2; lfpc b29d S s4; srnm b299 S; lfas b2bd S s4; sfasr b385 RRE n2`,
  psw: `
    spm 04 RR; epsw b98d RRE w w2; stosm ad SI s1 st pr; stnsm ac SI s1 st pr; ssm 80 S1 s1 pr
    lpswe b2b2 S pr; lpsw 82 S1 pr; spka b20a S la pr; ipk b20b S pr; iac b224 RRE w n2; sac b219 S
    sacf b279 S; sam24 010c E; sam31 010d E; sam64 010e E; tam 010b E; mc af SI; svc 0a I
    pfd e336 RXY la; pfdrl c62 RILm`,
  control: `
    lctl b7 RS s4 pr; lctlg eb2f RSY s8 pr; stctl b6 RS s4 st pr; stctg eb25 RSY s8 st pr
    lra b1 RX w la pr; lray e313 RXY w la pr; lrag e303 RXY w la pr; lura b24b RRE w pr
    lurag b905 RRE w pr; stura b246 RRE pr; sturg b925 RRE pr; tprot e501 SSE pr; stap b212 S s2 st pr
    stpx b211 S s4 st pr; spx b210 S s4 pr; mvcp da SSd st; mvcs db SSd st; mvck d9 SSd st
    mvcos c80 SSF st; mvcdk e50f SSE st; mvcsk e50e SSE st; iske b229 RRE w pr; sske b22b RRE pr
    ivsk b223 RRE w; rrbe b22a RRE pr; ptlb b20d S pr; spt b208 S s8 pr; stpt b209 S s8 st pr
    sckc b206 S s8 pr; stckc b207 S s8 st pr; stck b205 S s8 st; epair b99a RRE w n2; esair b99b RRE w n2
    esea b99d RRE w n2; esar b227 RRE w n2; epar b226 RRE w n2; ssar b225 RRE n2; ssair b99f RRE n2; stidp b202 S s8 st pr
    servc b220 RRE pr; sigp ae RS pr; diag 83 RS pr; stsi b27d S pr; idte b98e RRFa pr; ipte b221 RRFa pr
    csp b250 RRE W pr; cspg b98a RRE W pr; tb b22c RRE pr`,
  bfpShort: `
    aebr b30a RRE f1 f2; sebr b30b RRE f1 f2; meebr b317 RRE f1 f2; debr b30d RRE f1 f2
    cebr b309 RRE f1 f2; kebr b308 RRE f1 f2; ltebr b302 RRE f1 f2; lcebr b303 RRE f1 f2
    lnebr b301 RRE f1 f2; lpebr b300 RRE f1 f2; sqebr b314 RRE f1 f2; aeb ed0a RXE f1 s4
    seb ed0b RXE f1 s4; meeb ed17 RXE f1 s4; deb ed0d RXE f1 s4; ceb ed09 RXE f1 s4
    keb ed08 RXE f1 s4; sqeb ed14 RXE f1 s4; tceb ed10 RXE f1 la; maebr b30e RRD f1 f2 f3
    msebr b30f RRD f1 f2 f3; maeb ed0e RXF f1 f3 s4; mseb ed0f RXF f1 f3 s4`,
  bfpLong: `
    adbr b31a RRE f1 f2; sdbr b31b RRE f1 f2; mdbr b31c RRE f1 f2; ddbr b31d RRE f1 f2
    cdbr b319 RRE f1 f2; kdbr b318 RRE f1 f2; ltdbr b312 RRE f1 f2; lcdbr b313 RRE f1 f2
    lndbr b311 RRE f1 f2; lpdbr b310 RRE f1 f2; sqdbr b315 RRE f1 f2; adb ed1a RXE f1 s8
    sdb ed1b RXE f1 s8; mdb ed1c RXE f1 s8; ddb ed1d RXE f1 s8; cdb ed19 RXE f1 s8
    kdb ed18 RXE f1 s8; sqdb ed15 RXE f1 s8; tcdb ed11 RXE f1 la; madbr b31e RRD f1 f2 f3
    msdbr b31f RRD f1 f2 f3; madb ed1e RXF f1 f3 s8; msdb ed1f RXF f1 f3 s8; mdebr b30c RRE f1 f2
    mdeb ed0c RXE f1 s4; ldebr b304 RRE f1 f2; ldeb ed04 RXE f1 s4; ledbr b344 RRE f1 f2`,
  bfpExtended: `
    axbr b34a RRE q1 q2; sxbr b34b RRE q1 q2; mxbr b34c RRE q1 q2; dxbr b34d RRE q1 q2
    cxbr b349 RRE q1 q2; kxbr b348 RRE q1 q2; ltxbr b342 RRE q1 q2; lcxbr b343 RRE q1 q2
    lnxbr b341 RRE q1 q2; lpxbr b340 RRE q1 q2; sqxbr b316 RRE q1 q2; tcxb ed12 RXE q1 la
    mxdbr b307 RRE q1 f2; mxdb ed07 RXE q1 s8; lxdbr b305 RRE q1 f2; lxebr b306 RRE q1 f2
    lxdb ed05 RXE q1 s8; lxeb ed06 RXE q1 s4; ldxbr b345 RRE q1 q2; lexbr b346 RRE q1 q2`,
  bfpConvert: `
    cefbr b394 RRE f1; cdfbr b395 RRE f1; cxfbr b396 RRE q1; cegbr b3a4 RRE f1; cdgbr b3a5 RRE f1
    cxgbr b3a6 RRE q1; cfebr b398 RRFc w f2; cfdbr b399 RRFc w f2; cfxbr b39a RRFc w q2
    cgebr b3a8 RRFc w f2; cgdbr b3a9 RRFc w f2; cgxbr b3aa RRFc w q2; fiebr b357 RRFc f1 f2
    fidbr b35f RRFc f1 f2; fixbr b347 RRFc q1 q2; celfbr b390 RRE f1; cdlfbr b391 RRE f1
    cxlfbr b392 RRE q1; celgbr b3a0 RRE f1; cdlgbr b3a1 RRE f1; cxlgbr b3a2 RRE q1
    clfebr b39c RRFc w f2; clfdbr b39d RRFc w f2; clfxbr b39e RRFc w q2; clgebr b3ac RRFc w f2
    clgdbr b3ad RRFc w f2; clgxbr b3ae RRFc w q2`,
  bfpExtension: `
    cefbra b394 RRFc f1; cdfbra b395 RRFc f1; cxfbra b396 RRFc q1; cegbra b3a4 RRFc f1
    cdgbra b3a5 RRFc f1; cxgbra b3a6 RRFc q1; celfbra b390 RRFc f1; cdlfbra b391 RRFc f1
    cxlfbra b392 RRFc q1; celgbra b3a0 RRFc f1; cdlgbra b3a1 RRFc f1; cxlgbra b3a2 RRFc q1
    ledbra b344 RRFc f1 f2; ldxbra b345 RRFc q1 q2; lexbra b346 RRFc q1 q2`,
  fpcChanges: `srnmb b2b8 S; srnmt b2b9 S`,
} as const;

export type GroupName = keyof typeof groups;

function parseRow(line: string): Row {
  const [name = "", op = "", format = "", ...flags] = line.split(" ");
  if (!isFormat(format)) throw new Error(`instruction row '${line}' names no known format`);
  const has = (flag: string): boolean => flags.includes(flag);
  const numberOf = (letter: string): number => {
    const flag = flags.find((f) => f.length > 1 && f[0] === letter && /^\d+$/.test(f.slice(1)));
    return flag === undefined ? 0 : Number(flag.slice(1));
  };
  return {
    name,
    op: Number.parseInt(op, 16),
    format,
    writes1: has("W") ? 2 : has("w") ? 1 : 0,
    writes2: has("W2") ? 2 : has("w2") ? 1 : 0,
    writes3: has("w3") ? 1 : 0,
    even1: has("W") || has("E"),
    even2: has("W2") || has("E2"),
    even3: has("E3"),
    size: numberOf("s"),
    align: Math.max(1, numberOf("a")),
    stores: has("st"),
    shift: has("sh"),
    address: has("la"),
    fp1: has("f1") || has("q1"),
    fp2: has("f2") || has("q2"),
    fp3: has("f3"),
    pair1: has("q1"),
    pair2: has("q2"),
    privileged: has("pr"),
    no2: has("n2"),
  };
}

const parsed = new Map<string, readonly Row[]>();
const byName = new Map<string, Row>();
for (const [group, text] of Object.entries(groups)) {
  const rows = text
    .split(/[;\n]/)
    .map((line) => line.trim())
    .filter((line) => line.length > 0)
    .map(parseRow);
  parsed.set(group, rows);
  for (const row of rows) {
    if (byName.has(row.name))
      throw new Error(`instruction '${row.name}' stands twice in the table`);
    byName.set(row.name, row);
  }
}

export function rowsOf(...names: readonly GroupName[]): readonly Row[] {
  return names.flatMap((name) => parsed.get(name) ?? []);
}

export function rowNamed(name: string): Row {
  const row = byName.get(name);
  if (row === undefined) throw new Error(`no instruction '${name}' in the oracle's table`);
  return row;
}

export const allRows: readonly Row[] = [...byName.values()];

/** One encoded instruction with its readable form. */
export interface Insn {
  readonly name: string;
  readonly bytes: readonly number[];
  readonly text: string;
}

export function encode(row: Row, fields: Partial<Fields>): Insn {
  const full: Fields = { ...noFields, ...fields };
  const format = formats[row.format];
  const operands = format.text(full);
  return {
    name: row.name,
    bytes: format.encode(row.op, full),
    text: operands === "" ? row.name : `${row.name} ${operands}`,
  };
}

export function insn(name: string, fields: Partial<Fields> = {}): Insn {
  return encode(rowNamed(name), fields);
}
