// The 16 counting semaphores of 8 bits that order packets of different queues.
// Does: grant one take at a time, of a client whose semaphores are all above zero, taking one from each in one step;
// add one to each semaphore of a signal's mask; say when all are zero and which client overflowed one.
// Does not: queue requests, or know packets. A take that cannot be granted simply stays.
// Latency: a take is granted two cycles after it was asked for, at most one every second cycle, the lowest client
// first; a signal counts two cycles later and can be granted in the cycle after; zero_o is a cycle late.
// Handshake: take_valid_i stays until take_grant_o, which is high for one cycle; a client that gives up a take in the
// last two cycles before its grant is granted all the same.
// Overflow: a count past 255 stays at 255 and raises overflow_o two cycles after the signal, with the lowest client
// that signalled it. No take is granted in the Freeze cycles after it: who hears of the overflow stops first.
`default_nettype none
module vla_semaphores #(
  parameter Clients = 6,  // at most 7: overflow_client_o has 3 bits
  parameter Freeze  = 4
) (
  input  wire                  clk_i,
  input  wire                  rst_i,
  input  wire                  clear_i,  // all counts to zero
  input  wire [Clients-1:0]    take_valid_i,
  input  wire [Clients*16-1:0] take_mask_i,
  output wire [Clients-1:0]    take_grant_o,
  input  wire [Clients-1:0]    signal_valid_i,
  input  wire [Clients*16-1:0] signal_mask_i,
  output reg                   zero_o,
  output wire                  overflow_o,
  output wire [2:0]            overflow_client_o
);

  wire reset = rst_i || clear_i;

  wire [15:0]        above_zero;
  wire [15:0]        overflow;
  reg  [Clients-1:0] overflow_q;  // clients that overflowed a semaphore
  reg  [Freeze-1:0]  freeze_q;

  // ---- takes ----
  reg  [Clients-1:0]    want_q;   // asked for in the last cycle
  reg  [Clients*16-1:0] mask_q;
  reg  [Clients-1:0]    grant_q;  // at most one
  wire [Clients-1:0]    covered;  // all its semaphores are above zero
  wire [Clients-1:0]    first = covered & (~covered + 1'b1);
  wire                  open  = grant_q == {Clients{1'b0}} && overflow_q == {Clients{1'b0}} && freeze_q == {Freeze{1'b0}};
  wire [15:0]           taken;
  assign take_grant_o = grant_q;

  always @(posedge clk_i) begin
    if (reset) begin
      want_q  <= {Clients{1'b0}};
      grant_q <= {Clients{1'b0}};
    end else begin
      want_q  <= take_valid_i & ~grant_q;
      grant_q <= open ? first : {Clients{1'b0}};
    end
    mask_q <= take_mask_i;
  end

  // ---- signals ----
  reg [Clients*16-1:0] signal_q;

  genvar s, c;
  generate
    for (c = 0; c < Clients; c = c + 1) begin : g_client
      assign covered[c] = want_q[c] && (mask_q[16*c +: 16] & ~above_zero) == 16'd0;
      always @(posedge clk_i) begin
        signal_q[16*c +: 16] <= signal_valid_i[c] && !reset ? signal_mask_i[16*c +: 16] : 16'd0;
        overflow_q[c]        <= !reset && (signal_q[16*c +: 16] & overflow) != 16'd0;
      end
    end

    for (s = 0; s < 16; s = s + 1) begin : g_semaphore
      wire [Clients-1:0] signals, takes;
      for (c = 0; c < Clients; c = c + 1) begin : g_bit
        assign signals[c] = signal_q[16*c + s];
        assign takes[c]   = grant_q[c] && mask_q[16*c + s];
      end
      assign taken[s] = takes != {Clients{1'b0}};

      reg  [7:0] count_q;
      wire [8:0] count_d = {1'b0, count_q} + {6'd0, count(signals)} - {8'd0, taken[s]};
      always @(posedge clk_i) begin
        if (reset) count_q <= 8'd0;
        else       count_q <= count_d[8] ? 8'hFF : count_d[7:0];
      end

      assign above_zero[s] = count_q != 8'd0;
      assign overflow[s]   = count_d[8];
    end

    if (Clients > 7) begin : g_check
      vla_bad_parameter_semaphore_clients_at_most_7 u_bad ();
    end
    if (Freeze < 2) begin : g_check_freeze
      vla_bad_parameter_semaphore_freeze_at_least_2 u_bad ();
    end
  endgenerate

  // How many of some bits are set.
  function [2:0] count;
    input [Clients-1:0] bits;
    integer i;
    begin
      count = 3'd0;
      for (i = 0; i < Clients; i = i + 1) count = count + {2'd0, bits[i]};
    end
  endfunction

  // The lowest of some bits.
  function [2:0] lowest;
    input [Clients-1:0] bits;
    integer i;
    begin
      lowest = 3'd0;
      for (i = Clients - 1; i >= 0; i = i - 1) if (bits[i]) lowest = i[2:0];
    end
  endfunction

  always @(posedge clk_i) begin
    freeze_q <= reset ? {Freeze{1'b0}} : {freeze_q[Freeze-2:0], overflow_o};
    zero_o   <= reset || above_zero == 16'd0;
  end

  assign overflow_o        = overflow_q != {Clients{1'b0}};
  assign overflow_client_o = lowest(overflow_q);

endmodule
`default_nettype wire
